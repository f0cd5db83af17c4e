/* Words of FAKE_CUDA, such as `gpus=2 sms=4`, separated by spaces. */
#pragma once

#include <cstdlib>
#include <cstring>

/* Return what follows NAME= in FAKE_CUDA, or NULL. */
static inline const char *word_of(const char *name) {
  const char *words = getenv("FAKE_CUDA");
  const size_t length = strlen(name);
  for (const char *word = words; word && *word;
       word = strchr(word, ' ') ? strchr(word, ' ') + 1 : nullptr)
    if (!strncmp(word, name, length) && word[length] == '=')
      return word + length + 1;
  return nullptr;
}

static inline double number_of(const char *name, double otherwise) {
  const char *word = word_of(name);
  return word ? atof(word) : otherwise;
}

/* Part `index` of a word such as `flip=1:4096:7`, or -1. */
static inline long part_of(const char *name, int index) {
  const char *word = word_of(name);
  for (; word && index > 0; index--)
    word = strchr(word, ':') ? strchr(word, ':') + 1 : nullptr;
  return word ? atol(word) : -1;
}
