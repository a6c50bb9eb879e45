#   edri-node --config thread.zpl, where compress.so is found: here, or by its path.
node
    name = compress
    switch = tcp://127.0.0.1:5590
managers
    compress
        plugin = ./compress.so
        mode = threads:4
