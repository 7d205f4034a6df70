"""
A crawler of a small made-up web: four readers share the work, and the page that crashes them is given up, not the crawl.

Run it with ``python examples/crawler.py``.
"""

from __future__ import annotations

import sys

import trio

from etlplus.runtime import (
    Actor,
    ActorRestarted,
    Ask,
    Backoff,
    Mailbox,
    Name,
    Pool,
    Supervisor,
    Tell,
    child,
    keep_latest,
    least_loaded,
    open_system,
    transient,
)

WEB = {"/": ["/news", "/shop", "/old"], "/news": ["/", "/shop"], "/shop": ["/cart", "/old"], "/cart": ["/"]}


class Reading:
    """Address of the readers."""


class Crawling:
    """Address of the crawler."""


class Showing:
    """Address of the display."""


class LinksOf(Ask[Reading, list[str]]):
    url: str


class Visit(Tell[Crawling]):
    urls: list[str]


class Show(Tell[Showing]):
    visited: int


class Reader(Actor[Reading]):
    """Reads one page at a time, and does not survive a broken one."""

    @LinksOf.handler
    async def links_of(self, message: LinksOf) -> list[str]:
        await trio.sleep(0.01)
        if message.url not in WEB:
            raise ValueError("not found")
        return WEB[message.url]


class Crawler(Actor[Crawling]):
    """Visits what was found, wave by wave, until nothing is new."""

    def __init__(self, pages: dict[str, str]) -> None:
        self._pages = pages

    @Visit.handler
    async def visit(self, message: Visit) -> None:
        asked = {url: self.ctx.ref(READERS).request(LinksOf(url)) for url in message.urls}
        found: set[str] = set()
        for url, links in asked.items():
            try:
                found.update(await links)
                self._pages[url] = "read"
            except ActorRestarted as crashed:
                self._pages[url] = f"given up: {crashed.__cause__}"
            self.ctx.ref(DISPLAY).tell(Show(len(self._pages)))
        if new := sorted(found - self._pages.keys()):
            self.ctx.me.tell(Visit(new))
        else:
            self.ctx.stop()


class Display(Actor[Showing]):
    """Shows how far the crawl is; what it was too slow to show is replaced by what is newer."""

    @Show.handler
    async def show(self, message: Show) -> None:
        sys.stderr.write(f"\r{message.visited} pages")
        await trio.sleep(0.02)


READERS, CRAWLER, DISPLAY = Name[Reading]("readers"), Name[Crawling]("crawler"), Name[Showing]("display")


async def main() -> None:
    pages: dict[str, str] = {}
    tree = Supervisor(
        child(DISPLAY, Display, mailbox=Mailbox(1, keep_latest)),
        Pool(READERS, Reader, size=4, route=least_loaded, backoff=Backoff(first_s=0.001)),
        child(CRAWLER, lambda: Crawler(pages), restart=transient),
    )
    async with open_system(tree, name="crawl", on_crash=lambda crash: None) as system:
        system.ref(CRAWLER).tell(Visit(["/"]))
        await system.ref(CRAWLER).wait_stopped()
    sys.stdout.write("".join(f"{url} {state}\n" for url, state in sorted(pages.items())))


if __name__ == "__main__":
    trio.run(main)
