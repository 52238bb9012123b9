// What scripts call `cmsgpack`.
#ifndef CLUASHIMS_MSGPACK_H
#define CLUASHIMS_MSGPACK_H

#include <lua5.1/lua.h>

int cmsgpack_pack(lua_State *lua);
int cmsgpack_unpack(lua_State *lua);

#endif
