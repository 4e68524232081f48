/* crc32c (Castagnoli, as in iSCSI): the trailer of a frame (protocol.md 5.1). */
#ifndef PR_CRC32C_H
#define PR_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t pr_crc32c(const void *data, size_t size);
/* the same, always by table: what pr_crc32c does on a processor without the instruction */
uint32_t pr_crc32c_table(const void *data, size_t size);

#endif
