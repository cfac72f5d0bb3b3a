"""The kinds of data sources, with the functions that read them."""

from tasks.methods.sources import file

SOURCES = {
    "file": file.read_rows,
    "hub": file.read_rows,
}
