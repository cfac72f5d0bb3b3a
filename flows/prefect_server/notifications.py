"""Notification blocks of Prefect, as named or created from the addresses in TUNEGATE_NOTIFY."""

from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from pydantic import SecretStr

from schemas.errors import UsageError

ADDRESSES = ("http://", "https://")
# The format of Slack, Mattermost, Rocket.Chat and Google Chat; of Discord with /slack after its address.
MESSAGE = {"text": "{{subject}}\n{{body}}"}


def find_blocks(client: SyncPrefectClient, notify: SecretStr | None, ui: str) -> list[UUID]:
    """Find the block of each entry, or create it for an address. Raises UsageError."""
    entries = notify.get_secret_value().split(",") if notify else []
    found = [(number, entry.strip()) for number, entry in enumerate(entries, 1) if entry.strip()]
    return [
        _make(entry, number) if entry.startswith(ADDRESSES) else _find(client, entry, ui) for number, entry in found
    ]


def _make(address: str, number: int) -> UUID:
    """Create a block that posts to an address, stored as a secret."""
    block = CustomWebhookNotificationBlock(
        name="tunegate", url="{{address}}", json_data=MESSAGE, secrets={"address": address}
    )
    return UUID(str(block.save(f"tunegate-{number}", overwrite=True)))


def _find(client: SyncPrefectClient, name: str, ui: str) -> UUID:
    blocks = {
        f"{one.block_type.slug}/{one.name}": one.id
        for one in client.read_block_documents(include_secrets=False)
        if one.block_type and one.block_schema and "notify" in one.block_schema.capabilities
    }
    if name not in blocks:
        raise UsageError(
            f"TUNEGATE_NOTIFY names {_shown(name)}, which is not a notification block of the Prefect server; it has: "
            f"{', '.join(sorted(blocks)) or 'none'}. Expected TYPE/NAME, such as slack-webhook/ops, or an address that "
            f"starts with https://. Create the block at {ui}/v2/blocks/catalog, then run this again."
        )
    return blocks[name]


def _shown(name: str) -> str:
    """Quote an entry, unless it looks like part of an address, which is a secret."""
    return repr(name) if name.count("/") <= 1 else "something that starts with " + repr(name.partition("/")[0])
