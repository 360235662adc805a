"""What the engines of both services share: HTTP, keys, addresses, links, billing."""

from __future__ import annotations
