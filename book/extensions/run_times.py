"""The directive `run-times`: every page of the book by its title, with the seconds that its cells took in this build.

MyST-NB's own table of this kind names files instead of titles and shows more than a reader asks for.
"""

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective


class RunTimes(nodes.General, nodes.Element):
    """Where the table will stand once all pages have been executed."""


class RunTimesDirective(SphinxDirective):
    """Mark the place; MyST-NB writes a page with its own mark anew whenever a notebook was executed."""

    def run(self) -> list[nodes.Node]:
        NbMetadataCollector.set_doc_data(self.env, self.env.docname, "has_exec_table", True)
        return [RunTimes()]


class FillRunTimes(SphinxPostTransform):
    """Put the table where the directive stood."""

    default_priority = 8  # as MyST-NB's

    def run(self, **kwargs: object) -> None:
        for mark in list(self.document.findall(RunTimes)):
            mark.replace_self(self.table())

    def table(self) -> nodes.table:
        """A row for each page in the order of the contents, and one for all together."""
        here, root = self.env.docname, self.config.root_doc
        executed = NbMetadataCollector.get_doc_data(self.env)
        seconds = {page: (executed[page].get("exec_data") or {}).get("runtime") for page in executed}
        body = nodes.tbody()
        for page in [root, *self.env.toctree_includes.get(root, [])]:
            target = self.app.builder.get_relative_uri(here, page)
            link = nodes.reference("", self.env.titles[page].astext(), internal=True, refuri=target)
            body += row(link, nodes.Text(f"{seconds[page]:.0f}" if seconds.get(page) else "none"))
        total = sum(time for time in seconds.values() if time)
        body += row(nodes.strong(text="all"), nodes.strong(text=f"{total:.0f}"))
        columns = [nodes.colspec(colwidth=80), nodes.colspec(colwidth=20)]
        head = nodes.thead("", row(nodes.Text("page"), nodes.Text("seconds")))
        return nodes.table("", nodes.tgroup("", *columns, head, body, cols=2))


def row(*cells: nodes.Node) -> nodes.row:
    """A row of a table."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(RunTimes)
    app.add_directive("run-times", RunTimesDirective)
    app.add_post_transform(FillRunTimes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
