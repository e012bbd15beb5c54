"""Studies: what was heard and what the brain did. See docs/architecture.md and docs/data-contract.md."""

from braindash.studies.base import CortexMap, Finding, Split, Story, Study, TargetScan
from braindash.studies.library import add_study, list_studies, open_study, remove_study
from braindash.studies.registry import KINDS, register_kind
from braindash.studies.report import StudyReport, check_study

__all__ = [
    "KINDS",
    "CortexMap",
    "Finding",
    "Split",
    "Story",
    "Study",
    "StudyReport",
    "TargetScan",
    "add_study",
    "check_study",
    "list_studies",
    "open_study",
    "register_kind",
    "remove_study",
]
