/* Any bytes as the payload of a HELLO. */
#include "fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_payload(PR_HELLO, data, size); }
