/* The compiled BPF object, as bytes of the program: xdpsock is one file. */
	.section .rodata
	.balign 16
	.global steer_object, steer_object_end
steer_object:
	.incbin "xdpsock.bpf.o"
steer_object_end:
	.section .note.GNU-stack, "", @progbits
