"""A site generator: makes up articles, then builds a web site from them.

    python press.py [ARTICLES] [--out DIRECTORY]

The articles come from a fixed seed, so that every run does the same work and prints the same digest.
The steps are those of any site generator: parse, number, link, render, index, check.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import json
import random
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set

WORDS = """harbour lantern meadow granite compass willow ember tide orchard signal copper
feather canyon mirror saddle thunder velvet anchor bramble cinder drift falcon glacier hollow ivory
juniper kettle ledger marble nettle oasis pebble quarry ripple sparrow timber umber valley walnut yonder""".split()


# --- the author -----------------------------------------------------------------------------------------------


class Author:
    """Generates articles in a small markup: headings, paragraphs, lists, code, links, emphasis."""

    def __init__(self, seed: int, articles: int):
        self.random = random.Random(seed)
        self.slugs = [f"{self.random.choice(WORDS)}-{number}" for number in range(articles)]

    def articles(self) -> Iterator["Source"]:
        for slug in self.slugs:
            yield Source(slug, "\n\n".join(self.blocks(slug)))

    def blocks(self, slug: str) -> Iterator[str]:
        yield f"# {slug.title()}"
        for _ in range(self.random.randint(3, 6)):
            yield "#" * self.random.randint(2, 4) + " " + self.sentence(4)
            for _ in range(self.random.randint(1, 4)):
                yield self.block()

    def block(self) -> str:
        kind = self.random.random()
        if kind < 0.6:
            return " ".join(self.sentence(12) for _ in range(3))
        if kind < 0.85:
            return "\n".join(self.items(depth=0))
        return "```\n" + "\n".join(self.sentence(5) for _ in range(4)) + "\n```"

    def items(self, depth: int) -> Iterator[str]:
        for _ in range(self.random.randint(1, 3)):
            yield "  " * depth + "- " + self.sentence(6)
            if depth < 3 and self.random.random() < 0.4:
                yield from self.items(depth + 1)

    def sentence(self, length: int) -> str:
        return " ".join(self.word() for _ in range(length)).capitalize() + "."

    def word(self) -> str:
        word = self.random.choice(WORDS)
        dress = self.random.random()
        if dress < 0.04:
            return f"[{word}]({self.random.choice(self.slugs)})"
        if dress < 0.08:
            return f"*{word} **{self.random.choice(WORDS)}** & co*"
        if dress < 0.10:
            return f"`{word} < {len(word)}`"
        return word


@dataclass
class Source:
    slug: str
    text: str


# --- the parser -----------------------------------------------------------------------------------------------


@dataclass
class Node:
    kind: str
    text: str = ""
    children: List["Node"] = field(default_factory=list)
    level: int = 0
    target: Optional[str] = None

    def walk(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.walk()


INLINE = re.compile(
    r"\*\*(?P<strong>.+?)\*\*|\*(?P<emphasis>(?:[^*]|\*\*.+?\*\*)+)\*|`(?P<code>[^`]+)`|\[(?P<link>[^\]]+)\]\((?P<target>[^)]+)\)"
)
HEADING = re.compile(r"(#+) (.*)")
ITEM = re.compile(r"( *)- (.*)")


class Parser:
    """Parses text into a tree of nodes."""

    def parse(self, source: Source) -> Node:
        page = Node("page", source.slug)
        for block in re.split(r"\n{2,}", source.text):
            page.children.append(self.block(block))
        return page

    def block(self, text: str) -> Node:
        heading = HEADING.match(text)
        if heading:
            return Node("heading", children=self.inline(heading[2]), level=len(heading[1]))
        if text.startswith("```"):
            return Node("listing", text.strip("`\n"))
        if ITEM.match(text):
            return self.list_of(text.splitlines(), indent=0)
        return Node("paragraph", children=self.inline(text))

    def list_of(self, lines: List[str], indent: int) -> Node:
        """Parses the lines of one list. Deeper lines become lists in its last item."""
        result, deeper = Node("list"), []

        def close():
            if deeper:
                result.children[-1].children.append(self.list_of(deeper[:], indent + 2))
                deeper.clear()

        for line in lines:
            spaces, text = ITEM.match(line).groups()
            if len(spaces) > indent:
                deeper.append(line)
            else:
                close()
                result.children.append(Node("item", children=self.inline(text)))
        close()
        return result

    def inline(self, text: str) -> List[Node]:
        nodes, at = [], 0
        for match in INLINE.finditer(text):
            if match.start() > at:
                nodes.append(Node("text", text[at : match.start()]))
            nodes.append(self.dressed(match))
            at = match.end()
        if at < len(text):
            nodes.append(Node("text", text[at:]))
        return nodes

    def dressed(self, match) -> Node:
        kind = match.lastgroup if match.lastgroup != "target" else "link"
        if kind == "code":
            return Node("code", match["code"])
        return Node(kind, children=self.inline(match[kind]), target=match["target"])


# --- the printers ---------------------------------------------------------------------------------------------


class Printer:
    """Visits nodes: `print_KIND` for each kind."""

    def __init__(self):
        self.parts: List[str] = []

    def print(self, node: Node) -> None:
        getattr(self, "print_" + node.kind)(node)

    def print_children(self, node: Node) -> None:
        for child in node.children:
            self.print(child)

    print_page = print_heading = print_paragraph = print_list = print_item = print_children
    print_strong = print_emphasis = print_link = print_children

    def print_text(self, node: Node) -> None:
        self.parts.append(node.text)

    print_code = print_listing = print_text


def tag(name: str):
    """A method that prints a node's children between <name> and </name>."""

    def method(self, node: Node) -> None:
        self.parts.append(f"<{name}>")
        self.print_children(node)
        self.parts.append(f"</{name}>")

    return method


class HtmlPrinter(Printer):
    print_page, print_paragraph = tag("article"), tag("p")
    print_list, print_item = tag("ul"), tag("li")
    print_strong, print_emphasis = tag("strong"), tag("em")

    def print_heading(self, node: Node) -> None:
        self.parts.append(f'<h{node.level} id="{slugify(plain(node))}">')
        self.print_children(node)
        self.parts.append(f"</h{node.level}>")

    def print_link(self, node: Node) -> None:
        self.parts.append(f'<a href="{node.target}.html">')
        self.print_children(node)
        self.parts.append("</a>")

    def print_text(self, node: Node) -> None:
        self.parts.append(html.escape(node.text))

    def print_code(self, node: Node) -> None:
        self.parts.append(f"<code>{html.escape(node.text)}</code>")

    def print_listing(self, node: Node) -> None:
        self.parts.append(f"<pre>{html.escape(node.text)}</pre>")


def plain(node: Node) -> str:
    printer = Printer()
    printer.print(node)
    return "".join(printer.parts)


def slugify(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


# --- the site -------------------------------------------------------------------------------------------------


class Broken(Exception):
    """A link to a page that does not exist."""


class Site:
    def __init__(self, author: Author):
        self.author = author
        self.trees: Dict[str, Node] = {}
        self.pages: Dict[str, str] = {}

    def build(self) -> None:
        self.read()
        self.render()
        self.pages["search.json"] = self.search_index()
        self.pages["reach.json"] = self.reach()

    def read(self) -> None:
        parser = Parser()
        for source in self.author.articles():
            self.trees[source.slug] = parser.parse(source)

    def render(self) -> None:
        for slug, tree in self.trees.items():
            printer = HtmlPrinter()
            printer.print(tree)
            self.pages[slug + ".html"] = self.contents(tree) + "".join(printer.parts)

    def contents(self, tree: Node) -> str:
        headings = (node for node in tree.walk() if node.kind == "heading")
        lines = [f'<li><a href="#{slugify(plain(node))}">{plain(node)}</a></li>' for node in headings]
        return "<nav>" + "".join(lines) + "</nav>"

    def search_index(self) -> str:
        """Lists the pages that contain each word, the rarest words first."""
        index = defaultdict(Counter)
        for slug, tree in self.trees.items():
            for word in words_of(tree):
                index[word][slug] += 1
        rarest = sorted(index.items(), key=lambda entry: (sum(entry[1].values()), entry[0]))
        return json.dumps({word: pages.most_common(10) for word, pages in rarest}, indent=1)

    def reach(self) -> str:
        """Counts the clicks from the first page to every other one, and lists the broken links."""
        links = {slug: sorted(links_of(tree)) for slug, tree in self.trees.items()}
        clicks, broken = {}, []

        def follow(slug: str, depth: int) -> None:
            if slug not in links:
                raise Broken(slug)
            if clicks.get(slug, depth + 1) <= depth or depth > 12:
                return
            clicks[slug] = depth
            for target in links[slug]:
                try:
                    follow(target, depth + 1)
                except Broken as error:
                    broken.append(str(error))

        follow(next(iter(links)), 0)
        return json.dumps({"clicks": clicks, "broken": sorted(set(broken))}, sort_keys=True)


def words_of(tree: Node) -> Iterator[str]:
    for node in tree.walk():
        for word in re.findall(r"[a-z]+", node.text.lower()):
            yield word


def links_of(tree: Node) -> Set[str]:
    return {node.target for node in tree.walk() if node.kind == "link"}


def main() -> None:
    arguments = argparse.ArgumentParser(description="Build a web site from made-up articles.")
    arguments.add_argument("articles", nargs="?", type=int, default=400)
    arguments.add_argument("--out", type=Path, help="write the pages into this directory")
    options = arguments.parse_args()

    site = Site(Author(seed=1962, articles=options.articles))
    site.build()
    digest = hashlib.sha256()
    for name, page in sorted(site.pages.items()):
        digest.update(page.encode())
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / name).write_text(page)
    size = sum(map(len, site.pages.values()))
    print(f"{len(site.pages)} pages, {size} characters, {digest.hexdigest()[:16]}")


if __name__ == "__main__":
    main()
