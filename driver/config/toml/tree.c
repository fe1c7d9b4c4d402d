/* SPDX-License-Identifier: MIT */
#include "driver/config/toml/tree.h"

#include <stdlib.h>
#include <string.h>

/* Below this many entries a walk is faster than an index. */
#define INDEX_FROM_COUNT 16
#define CHUNK_BYTES      (16 * 1024)

struct chunk {
    struct chunk *next;
    size_t used;
    size_t size;
    _Alignas(max_align_t) char bytes[];
};

struct toml_document {
    struct toml_value root;
    struct chunk *chunks; /* the one in use first */
    char *text;
};

struct toml_document *toml_tree_new(size_t text_bytes)
{
    struct toml_document *document = calloc(1, sizeof(*document));
    if (document == NULL) {
        return NULL;
    }
    document->text = malloc(text_bytes);
    if (document->text == NULL) {
        free(document);
        return NULL;
    }
    document->root.type = TOML_TABLE;
    document->root.origin = TOML_BY_HEADER;
    document->root.line = 1;
    return document;
}

void toml_free(struct toml_document *document)
{
    if (document == NULL) {
        return;
    }
    while (document->chunks != NULL) {
        struct chunk *chunk = document->chunks;
        document->chunks = chunk->next;
        free(chunk);
    }
    free(document->text);
    free(document);
}

struct toml_value *toml_tree_root(struct toml_document *document)
{
    return &document->root;
}

char *toml_tree_text(struct toml_document *document)
{
    return document->text;
}

/* Zeroed memory that lives as long as the document. */
static void *allocate(struct toml_document *document, size_t size)
{
    size_t alignment = _Alignof(max_align_t);
    size = (size + alignment - 1) / alignment * alignment;
    struct chunk *chunk = document->chunks;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        chunk = calloc(1, sizeof(*chunk) + room);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->size = room;
        chunk->next = document->chunks;
        document->chunks = chunk;
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += size;
    return memory;
}

/* FNV-1a, finished by a mix because buckets are chosen by the low bits. Not seeded: the document
 * is the user's own configuration, and the same text always gives the same tree. */
static uint32_t hash_key(const struct toml_text *key)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < key->length; i++) {
        hash = (uint32_t)((hash ^ (unsigned char)key->bytes[i]) * UINT64_C(16777619));
    }
    return hash ^ (hash >> 15);
}

static struct toml_value **bucket_of(const struct toml_children *children, uint32_t hash)
{
    return &children->buckets[hash & (children->bucket_count - 1)];
}

static void index_one(struct toml_children *children, struct toml_value *value)
{
    struct toml_value **bucket = bucket_of(children, value->hash);
    value->bucket_next = *bucket;
    *bucket = value;
}

/* Doubles the index. The old buckets stay in the arena: all of them together are no larger than
 * the new ones. */
static int grow_index(struct toml_document *document, struct toml_children *children)
{
    size_t count = children->buckets == NULL ? 2 * INDEX_FROM_COUNT : 2 * children->bucket_count;
    struct toml_value **buckets = allocate(document, count * sizeof(struct toml_value *));
    if (buckets == NULL) {
        return -1;
    }
    children->buckets = buckets;
    children->bucket_count = count;
    for (struct toml_value *value = children->first; value != NULL; value = value->next) {
        index_one(children, value);
    }
    return 0;
}

static bool index_is_full(const struct toml_children *children)
{
    return children->buckets == NULL ? children->count >= INDEX_FROM_COUNT
                                     : children->count >= children->bucket_count;
}

static void append(struct toml_children *children, struct toml_value *value)
{
    if (children->last == NULL) {
        children->first = value;
    } else {
        children->last->next = value;
    }
    children->last = value;
    children->count++;
}

struct toml_value *toml_tree_add(struct toml_document *document, struct toml_value *parent,
                                 const struct toml_text *key, unsigned line)
{
    struct toml_children *children = &parent->children;
    if (key != NULL && index_is_full(children) && grow_index(document, children) < 0) {
        return NULL;
    }
    struct toml_value *value = allocate(document, sizeof(*value));
    if (value == NULL) {
        return NULL;
    }
    value->line = line;
    value->depth = parent->depth + 1;
    append(children, value);
    if (key != NULL) {
        value->key = *key;
        value->hash = hash_key(key);
        if (children->buckets != NULL) {
            index_one(children, value);
        }
    }
    return value;
}

static bool has_key(const struct toml_value *value, uint32_t hash, const struct toml_text *key)
{
    return value->hash == hash && value->key.length == key->length &&
           memcmp(value->key.bytes, key->bytes, key->length) == 0;
}

struct toml_value *toml_tree_find(const struct toml_value *table, const struct toml_text *key)
{
    const struct toml_children *children = &table->children;
    uint32_t hash = hash_key(key);
    bool indexed = children->buckets != NULL;
    struct toml_value *value = indexed ? *bucket_of(children, hash) : children->first;
    while (value != NULL && !has_key(value, hash, key)) {
        value = indexed ? value->bucket_next : value->next;
    }
    return value;
}

const struct toml_value *toml_root(const struct toml_document *document)
{
    return &document->root;
}
