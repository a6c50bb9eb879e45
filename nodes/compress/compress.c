// SPDX-License-Identifier: MIT
// compress.c - a plugin whose tunnels compress what is sent into them (zlib).
//
// The handlers send and receive, waiting: as fast as the other end reads, with a
// window's worth of memory.  They are the same in threads and in processes; who runs
// them is said in the configuration (thread.zpl, process.zpl).

#include <zlib.h>

#include <edri/edri.h>

#include "compress.edri.h"

#define PART (64 * 1024)

// A stream's window with a gzip header and trailer, see zlib.h.
#define GZIP_BITS (15 + 16)

typedef int step_fn(z_streamp stream, int flush);

// pour lets what comes through 'step' and sends the result, until that ends.
static edri_err_t
pour(edri_task_t *task, edri_tunnel_t *tunnel, z_stream *stream, step_fn *step)
{
    edri_bytes_t in = {0};
    int state = Z_OK;
    int flush = Z_NO_FLUSH;
    while (state != Z_STREAM_END) {
        if (stream->avail_in == 0 && flush == Z_NO_FLUSH) {
            edri_bytes_free(&in);
            edri_err_t err = edri_tunnel_receive_bytes(tunnel, -1, &in);
            if (err != EDRI_OK && err != EDRI_END) {
                return err;
            }
            flush = err == EDRI_END ? Z_FINISH : Z_NO_FLUSH;
            stream->next_in = (Bytef *)(uintptr_t)in.data;
            stream->avail_in = (uInt)in.size;
        }
        uint8_t out[PART];
        stream->next_out = out;
        stream->avail_out = sizeof out;
        state = step(stream, flush);
        // No progress is no error, but at the end of the input.
        bool short_of = state == Z_BUF_ERROR && flush != Z_FINISH;
        if (state != Z_OK && state != Z_STREAM_END && !short_of) {
            edri_bytes_free(&in);
            return edri_task_fail(task, EDRI_INVAL, "%s",
                stream->msg != NULL ? stream->msg
                : flush == Z_FINISH ? "the data ends too early"
                                    : zError(state));
        }
        size_t size = sizeof out - stream->avail_out;
        edri_err_t err =
            size > 0 ? edri_tunnel_send_bytes(tunnel, out, size, -1) : EDRI_OK;
        if (err != EDRI_OK) {
            edri_bytes_free(&in);
            return err;
        }
    }
    edri_bytes_free(&in);
    return EDRI_OK;
}

static edri_err_t
on_gzip(edri_task_t *task, const Compress__Gzip *args, edri_tunnel_t *tunnel)
{
    z_stream stream = {0};
    if (args->level < 0 || args->level > 9) {
        return edri_task_fail(task, EDRI_INVAL,
            "level %d: 1 (fast) to 9 (small) is expected, or 0", args->level);
    }
    int level = args->level == 0 ? Z_DEFAULT_COMPRESSION : args->level;
    if (deflateInit2(&stream, level, Z_DEFLATED, GZIP_BITS, 8,
            Z_DEFAULT_STRATEGY) != Z_OK) {
        return edri_task_fail(task, EDRI_SYSTEM, "zlib has no memory");
    }
    edri_err_t err = pour(task, tunnel, &stream, deflate);
    (void)deflateEnd(&stream);
    return err;
}

static edri_err_t
on_gunzip(
    edri_task_t *task, const Compress__Gunzip *args, edri_tunnel_t *tunnel)
{
    z_stream stream = {0};
    (void)args;
    if (inflateInit2(&stream, GZIP_BITS) != Z_OK) {
        return edri_task_fail(task, EDRI_SYSTEM, "zlib has no memory");
    }
    edri_err_t err = pour(task, tunnel, &stream, inflate);
    (void)inflateEnd(&stream);
    return err;
}

edri_err_t
edri_plugin(edri_manager_t *manager)
{
    (void)compress_gzip_handle(manager, on_gzip, EDRI_THREADS(4));
    return compress_gunzip_handle(manager, on_gunzip, EDRI_THREADS(4));
}
