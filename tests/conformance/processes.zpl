#   The code says threads.
managers
    work
        mode = processes:2
        set
            unused = 1
