#define GENERATED 1
