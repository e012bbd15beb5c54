"""One story of a run: what was heard, what was measured, and what both models predict."""

from braindash.errors import BraindashError
from braindash.ui import chosen, explorer_view, heading, notices

heading.title("Explorer")
row = chosen.evaluated_run()
results = chosen.results_of(row)

notices.caveats(results.caveats)
try:
    explorer_view.page(row, results)
except BraindashError as error:
    notices.mistake(error)
