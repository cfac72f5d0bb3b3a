"""Every kind of data source and the function that reads it."""

from tasks.methods.sources import file

SOURCES = {
    "file": file.read_rows,
    "hub": file.read_rows,
}
