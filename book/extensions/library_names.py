"""The search finds functions of the library by name: where a page shows their lines."""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains import Domain, ObjType
from sphinx.environment import BuildEnvironment

SHOWN = re.compile(r"# \w+/(\w+)\.py, lines .*?^ *(?:def|class) (\w+)", re.DOTALL | re.MULTILINE)


class LibraryNames(Domain):
    """Functions and classes by module and name, each at the section that shows it."""

    name, label = "library", "Library"
    object_types = {"function": ObjType("function of the library")}  # noqa: RUF012 (as Sphinx declares it)
    initial_data = {"shown": {}}  # noqa: RUF012

    def process_doc(self, env: BuildEnvironment, docname: str, document: nodes.document) -> None:
        """Note what is shown; output of a cell stands in the document before its page is written."""
        found = self.data["shown"].setdefault(docname, {})
        for block in document.findall(nodes.literal_block):
            if shown := SHOWN.match(block.astext()):
                section = block
                while section.parent and not isinstance(section, nodes.section):
                    section = section.parent
                found[".".join(shown.groups())] = section["ids"][0] if section.get("ids") else ""

    def clear_doc(self, docname: str) -> None:
        self.data["shown"].pop(docname, None)

    def merge_domaindata(self, docnames: Any, otherdata: dict[str, Any]) -> None:
        self.data["shown"] |= {docname: otherdata["shown"].get(docname, {}) for docname in docnames}

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        for docname, found in self.data["shown"].items():
            for name, anchor in found.items():
                yield name, name, "function", docname, anchor, 1


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_domain(LibraryNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
