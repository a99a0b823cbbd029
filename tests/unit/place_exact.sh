#!/bin/sh
# Whole applications against an exact solver, those of the first seeds that it closes in well under a second;
# bench/place-exact compares hundreds.
cd "$(dirname "$0")/../.." || exit 1
exec bench/place-exact --check --seconds 20 1 3 8 10 12 13 14 15 16 19 20 22 23 24 25 26 29 43 46 48
