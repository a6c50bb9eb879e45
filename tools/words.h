// SPDX-License-Identifier: MIT
// words.h - the words of the edri command line.

#ifndef TOOLS_WORDS_H
#define TOOLS_WORDS_H

// Each takes what stands behind the options, its own word first, and returns
// the exit code: 0, 1 when something went wrong, 2 after wrong use.
int word_bench(int argc, char **argv);
int word_audit(int argc, char **argv);
int word_types(int argc, char **argv);
int word_nodes(int argc, char **argv);
int word_dead(int argc, char **argv);
int word_health(int argc, char **argv);
int word_reload(int argc, char **argv);
int word_emit(int argc, char **argv);
int word_request(int argc, char **argv);
int word_listen(int argc, char **argv);
int word_tunnel(int argc, char **argv);

#endif
