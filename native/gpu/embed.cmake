# SPDX-License-Identifier: Apache-2.0
# Write a text file as a C array that ends with a NUL: cmake -DNAME=gpu_ptx_plain -DIN=plain.ptx -DOUT=plain.c -P embed.cmake
file(READ "${IN}" bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUT}" "extern const char ${NAME}[];\nconst char ${NAME}[] = {${bytes}0};\n")
