int toy(void)
{
	return 1;
}
