managers
    work
        program = /nothing/there --at all
