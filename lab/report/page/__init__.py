"""The page that people read: one HTML file that needs no network, no script and no other file."""

from lab.report.page.render import index_html, report_html

__all__ = ["index_html", "report_html"]
