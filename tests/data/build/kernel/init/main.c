#include "generated.h"
#include "net.h"

int state = GENERATED;

void start(void)
{
	state = filter(state);
	for (;;)
		;
}
