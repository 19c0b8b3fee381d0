"""`python -m plasticity_trainer`, which `accelerate launch -m` starts."""

import sys

from .cli import main

sys.exit(main())
