/* Runs a fuzz target over the files of a corpus folder, where there is no fuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    size_t room = 1 << 22, size;
    uint8_t *data = malloc(room);
    if (!data) abort();
    size = fread(data, 1, room, file);
    fclose(file);
    uint8_t *exact = realloc(data, size ? size : 1); /* so that a read behind the end is seen */
    if (!exact) abort();
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int replay_folder(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[1024];
        if (entry->d_name[0] == '.') continue;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < sizeof path) count += replay(path);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++) count += replay_folder(argv[i]);
    printf("%d inputs\n", count);
    return count ? 0 : 1;
}
