#include "net.h"

int clamp(int frags)
{
	return frags > LIMIT ? LIMIT : frags;
}
