#   The code says nothing of a process of its own.
managers
    work
        run = process
        mode = threads:2
