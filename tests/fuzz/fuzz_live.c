/* Any bytes as the payload of a LIVE. */
#include "fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return fuzz_payload(PR_LIVE, data, size); }
