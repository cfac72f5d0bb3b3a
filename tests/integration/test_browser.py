"""Prefect's UI as a person uses it: the form, the run, its verdict and pictures, and a rollback.

It needs Chromium (Debian's package `chromium`) and is skipped without it. Alone: pytest -m '' tests/integration/test_browser.py
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright
from prefect.client.orchestration import SyncPrefectClient

from schemas.settings import Settings
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tests.integration.stack import Stack, local_stack, run_deployment

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
RUN_MS = 120_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here; Debian's package is called chromium"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Stack]:
    with local_stack(tmp_path_factory.mktemp("stack"), tiny_model) as made:
        yield made


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        made = browser.new_page(viewport={"width": 1280, "height": 1400})
        made.route("**/*", stay_here)
        made.set_default_timeout(30_000)
        yield made
        browser.close()


def stay_here(route: Route) -> None:
    """The page asks a host for analytics, which is off."""
    if "127.0.0.1" in route.request.url:
        route.continue_()
    else:
        route.abort()


def log_in(page: Page, stack: Stack) -> None:
    page.goto(stack.ui)
    page.wait_for_url("**/login?*")
    page.get_by_placeholder("admin:pass").fill(stack.login)
    page.get_by_role("button", name="Login").click()
    page.wait_for_url(lambda url: "/login" not in url)


def open_form(page: Page, stack: Stack, client: SyncPrefectClient, name: str) -> None:
    page.goto(f"{stack.ui}/v2/deployments/deployment/{client.read_deployment_by_name(name).id}/run")
    expect(page.get_by_role("button", name="Submit")).to_be_visible()


def submit(page: Page) -> None:
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/deployments/deployment/*?tab=Runs")


def open_run(page: Page, stack: Stack, name: str, state: str) -> None:
    """Wait on the list of runs until one of that name is in that state, and open it."""
    page.goto(f"{stack.ui}/v2/runs")
    card = page.locator("a[href*='/runs/flow-run/']", has_text=name).first
    expect(card).to_be_visible(timeout=RUN_MS)
    card.click()
    page.wait_for_url("**/runs/flow-run/*")
    expect(page.get_by_text(state, exact=True).first).to_be_visible(timeout=RUN_MS)


def open_artifact(page: Page, run_page: str, name: str) -> None:
    page.goto(run_page)
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text(name).first.click()
    # Not among the run's own: those without a name have links of the same form there.
    page.wait_for_url(f"**/artifacts/key/{name}")
    page.locator("a[href*='/artifacts/artifact/']").first.click()


def retrainings(client: SyncPrefectClient) -> list[UUID]:
    deployment = client.read_deployment_by_name("retrain/weekly").id
    return sorted(
        run.id for run in client.read_flow_runs() if run.deployment_id == deployment and not run.auto_scheduled
    )


def champion(stack: Stack) -> str:
    store = open_store(Settings(home=Path(stack.environment["TUNEGATE_HOME"])))
    return read_log(store, "tiny").aliases["champion"]


def test_form_run_verdict_and_rollback(stack: Stack, page: Page, tmp_path: Path):
    with stack.client() as client:
        log_in(page, stack)
        open_form(page, stack, client, "retrain/weekly")
        page.get_by_label("Epochs").first.fill("7")
        page.get_by_label("Reason").first.fill("asked by a person")
        page.screenshot(path=tmp_path / "form.png")
        submit(page)
        open_run(page, stack, "tweets/full, training.epochs=7", "Promoted")
        run_page = page.url
        page.wait_for_timeout(3000)
        page.screenshot(path=tmp_path / "run.png")
        open_artifact(page, run_page, "tiny-rules")
        picture = page.locator("img[src^='data:image/png']").first
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.complete && image.naturalWidth > 100")
        page.screenshot(path=tmp_path / "picture.png")
        open_artifact(page, run_page, "tiny-report")
        expect(page.get_by_role("cell", name="floor", exact=True)).to_be_visible()
        expect(page.get_by_role("cell", name="macro_f1", exact=True)).to_be_visible()
        page.screenshot(path=tmp_path / "verdict.png")
        first = champion(stack)

        run_deployment(client, "retrain/weekly", request={"recipe": "tweets/full", "seed": 3})
        second = champion(stack)
        assert second != first
        open_form(page, stack, client, "release/release")
        page.get_by_label("model").first.fill("tiny")
        page.get_by_label("reason").first.fill("wrong at night")
        submit(page)
        open_run(page, stack, "rollback tiny@champion", "Completed")
        page.screenshot(path=tmp_path / "rollback.png")

        assert champion(stack) == first
        assert "asked by a person" in stack.command("history", "tiny")
        print(f"\nlook at {tmp_path}/*.png")


def test_value_out_of_range_makes_no_run(stack: Stack, page: Page):
    with stack.client() as client:
        known = retrainings(client)
        log_in(page, stack)
        open_form(page, stack, client, "retrain/weekly")
        page.get_by_label("Epochs").first.fill("5000")
        page.get_by_role("button", name="Submit").click()
        page.wait_for_timeout(3000)

        assert page.url.endswith("/run")
        assert retrainings(client) == known
