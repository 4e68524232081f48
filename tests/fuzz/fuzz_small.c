/* Any bytes as the payload of the messages without arrays, and of types nobody knows: the first byte is the type. */
#include "fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return size ? fuzz_payload(data[0] & 31, data + 1, size - 1) : 0;
}
