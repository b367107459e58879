#define LIMIT 17
int clamp(int frags);
int filter(int frags);
