"""evaluation.json -> what people read: tables on the terminal, evaluation.html."""

from personable.evaluation.page.html import write_comparison, write_page
from personable.evaluation.page.screen_table import comparison_table, score_table

__all__ = ["comparison_table", "score_table", "write_comparison", "write_page"]
