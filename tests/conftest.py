"""Every run of these tests ends with the line "N passed, N failed"."""

import signal

import pytest


def pytest_configure(config):
    """a run in the background may have begun with SIGINT ignored, and so would all that is started here"""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and hasattr(config, "stash"):
        failed = len(reporter.stats.get("failed", [])) + len(reporter.stats.get("error", []))
        print(f"{len(reporter.stats.get('passed', []))} passed, {failed} failed")
