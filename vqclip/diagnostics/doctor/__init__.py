"""What can keep vqclip from working here, found before it does: see :func:`examine`."""

from vqclip.diagnostics.doctor.findings import Finding
from vqclip.diagnostics.doctor.rounds import examine

__all__ = ["Finding", "examine"]
