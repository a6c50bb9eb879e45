# counter.zpl - a counter node of compose.yaml; its name comes from outside.
managers
    counter
        plugin = /usr/local/lib/edri/wordcount_counter.so
