#!/bin/sh
# The N carriers with the longest mean delay, from the CSV that the step before wrote.
# usage: worst.sh delays_by_carrier.csv N
set -eu
tail -n +2 "$1" | sort -t, -k4,4nr | head -n "$2"
