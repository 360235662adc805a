"""HTTP in and out: bodies, limits, refusals, uploads, requests and deliveries of the server's own."""

from __future__ import annotations
