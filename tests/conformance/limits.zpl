managers
    work
        time_limit = 100ms
