/* Any bytes as the payload of a SEG. */
#include "fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_payload(PR_SEGMENT, data, size); }
