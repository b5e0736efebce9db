"""Job scripts for clusters: the same commands, written for engines that exist."""
