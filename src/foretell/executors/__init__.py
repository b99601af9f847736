"""Where tasks are computed: this process, several processes, or a Ray cluster."""
