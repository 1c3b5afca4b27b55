"""Reads the project's documents for their tests: what they show, what they name, and where they link to."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.deployment.paths import ROOT

_OPERATORS = {";", "|", "||", "&&", "&", "(", ")", "{", "}"}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `file` is the file that its info string names: ```python file=functions/new.py."""

    language: str
    file: str | None
    line: int
    text: str

    @property
    def commands(self) -> Iterator[list[str]]:
        """The simple commands of a shell block, as words. A placeholder, `<like this>`, is one word."""
        text = re.sub(r"<[a-z][^<>\n]*>", "PLACEHOLDER", self.text.replace("\\\n", " "))
        line = ""
        for part in text.splitlines():
            line += part
            lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&(){}<>")
            lexer.whitespace_split = True
            lexer.commenters = "#"
            try:
                words = list(lexer)
            except ValueError:  # a quotation that continues in the next line
                line += "\n"
                continue
            line, command = "", list[str]()
            for word in [*words, ";"]:
                if word in _OPERATORS:
                    if command:
                        yield command
                    command = []
                else:
                    command.append(word)


@dataclass(frozen=True)
class Document:
    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @cached_property
    def _inline(self) -> list[Token]:
        return [child for token in self._tokens if token.type == "inline" for child in token.children or []]

    @property
    def blocks(self) -> list[Block]:
        blocks = []
        for token in self._tokens:
            if token.type == "fence" and token.map:
                language, _, more = token.info.partition(" ")
                file = re.fullmatch(r"file=(\S+)", more)
                blocks.append(Block(language, file and file[1], token.map[0] + 1, token.content))
        return blocks

    def blocks_of(self, heading: str) -> list[Block]:
        """The lines below a heading, up to the next heading of the same or a higher level."""
        inside, level, lines = False, "", set[int]()
        for number, token in enumerate(self._tokens):
            if token.type == "heading_open":
                if inside and token.tag <= level:
                    break
                if self._tokens[number + 1].content == heading:
                    inside, level = True, token.tag
            elif inside and token.map:
                lines.add(token.map[0] + 1)
        assert inside, f"{self} has no heading {heading!r}."
        return [block for block in self.blocks if block.line in lines]

    @property
    def code(self) -> list[str]:
        """The code spans in the text."""
        return [token.content for token in self._inline if token.type == "code_inline"]

    @property
    def links(self) -> list[str]:
        hrefs = (token.attrs.get("href") or token.attrs.get("src") for token in self._inline)
        return [str(href) for href in hrefs if href]

    @property
    def anchors(self) -> set[str]:
        """The fragments that a link may have, as GitHub derives them from the headings."""
        headings = (
            after.content
            for token, after in zip(self._tokens, self._tokens[1:], strict=False)
            if token.type == "heading_open"
        )
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    def table(self, heading: str) -> list[list[str]]:
        """The rows of the tables below a heading, as cells of Markdown."""
        rows, inside = list[list[str]](), False
        for token, after in zip(self._tokens, self._tokens[1:], strict=False):
            if token.type == "heading_open":
                inside = after.content == heading
            elif inside and token.type == "tr_open":
                rows.append([])
            elif inside and token.type == "td_open":
                rows[-1].append(after.content)
        return [row for row in rows if row]


README = Document(ROOT / "README.md")
DOCUMENTS = [
    README,
    *(
        Document(path)
        for path in [
            ROOT / "CONTRIBUTING.md",
            ROOT / "CHANGELOG.md",
            ROOT / "events" / "README.md",
            *sorted((ROOT / "docs").glob("*.md")),
        ]
    ),
]


def document(name: str) -> Document:
    """A document in docs/."""
    return Document(ROOT / "docs" / f"{name}.md")


MANUAL = document("manual")
