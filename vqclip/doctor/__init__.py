"""What can keep vqclip from working here, found before it does: see :func:`examine`."""

from vqclip.doctor.findings import Finding
from vqclip.doctor.rounds import examine

__all__ = ["Finding", "examine"]
