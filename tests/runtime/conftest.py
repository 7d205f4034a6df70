"""What only these tests share is imported by name: the kit of actors and the simulation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
