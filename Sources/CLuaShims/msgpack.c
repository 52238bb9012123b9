// MessagePack: https://github.com/msgpack/msgpack/blob/master/spec.md

#include "msgpack.h"

#include <lua5.1/lua.h>

#include <lua5.1/lauxlib.h>
#include <math.h>
#include <stdint.h>

#include "buffer.h"

static void pack_number(buffer *b, uint64_t number, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    char byte = (char)(number >> shift);
    add(b, &byte, 1);
  }
}

static void pack_head(buffer *b, unsigned char head) { add(b, &head, 1); }

static void pack(lua_State *lua, buffer *b) {
  size_t length;
  luaL_checkstack(lua, 4, "a value is nested too deeply");
  switch (lua_type(lua, -1)) {
  case LUA_TSTRING: {
    const char *text = lua_tolstring(lua, -1, &length);
    if (length < 32) {
      pack_head(b, (unsigned char)(0xa0 | length));
    } else if (length <= 0xff) {
      pack_head(b, 0xd9);
      pack_number(b, length, 1);
    } else if (length <= 0xffff) {
      pack_head(b, 0xda);
      pack_number(b, length, 2);
    } else {
      pack_head(b, 0xdb);
      pack_number(b, length, 4);
    }
    add(b, text, length);
    break;
  }
  case LUA_TNUMBER: {
    lua_Number number = lua_tonumber(lua, -1);
    if (floor(number) == number && fabs(number) < 9e15) {
      pack_head(b, 0xd3);
      pack_number(b, (uint64_t)(int64_t)number, 8);
    } else {
      uint64_t bits;
      memcpy(&bits, &number, 8);
      pack_head(b, 0xcb);
      pack_number(b, bits, 8);
    }
    break;
  }
  case LUA_TTABLE: {
    size_t count = lua_objlen(lua, -1);
    if (count < 16) {
      pack_head(b, (unsigned char)(0x90 | count));
    } else {
      pack_head(b, 0xdd);
      pack_number(b, count, 4);
    }
    for (size_t i = 1; i <= count; i++) {
      lua_rawgeti(lua, -1, (int)i);
      pack(lua, b);
    }
    break;
  }
  default:
    free(b->data);
    luaL_error(lua, "ERR cmsgpack.pack of a %s is not there", lua_typename(lua, lua_type(lua, -1)));
  }
  lua_pop(lua, 1);
}

int cmsgpack_pack(lua_State *lua) {
  buffer b = {0};
  luaL_checkany(lua, 1);
  lua_settop(lua, 1);
  pack(lua, &b);
  lua_pushlstring(lua, b.data, b.length);
  free(b.data);
  return 1;
}

typedef struct {
  const unsigned char *at, *end;
} unpacking;

static uint64_t unpack_number(lua_State *lua, unpacking *u, int bytes) {
  if (u->end - u->at < bytes) luaL_error(lua, "ERR Missing bytes in input.");
  uint64_t number = 0;
  while (bytes--) number = number << 8 | *u->at++;
  return number;
}

static void unpack(lua_State *lua, unpacking *u) {
  luaL_checkstack(lua, 4, "a value is nested too deeply");
  unsigned char head = (unsigned char)unpack_number(lua, u, 1);
  uint64_t length = 0;
  if (head < 0x80 || head >= 0xe0) {
    lua_pushnumber(lua, (signed char)head);
    return;
  }
  if (head == 0xd3) {
    lua_pushnumber(lua, (lua_Number)(int64_t)unpack_number(lua, u, 8));
    return;
  }
  if (head == 0xcb) {
    uint64_t bits = unpack_number(lua, u, 8);
    double number;
    memcpy(&number, &bits, 8);
    lua_pushnumber(lua, number);
    return;
  }
  if ((head & 0xf0) == 0x90 || head == 0xdc || head == 0xdd) {
    length = head == 0xdc ? unpack_number(lua, u, 2) : head == 0xdd ? unpack_number(lua, u, 4) : head & 0x0f;
    lua_newtable(lua);
    for (uint64_t i = 1; i <= length; i++) {
      unpack(lua, u);
      lua_rawseti(lua, -2, (int)i);
    }
    return;
  }
  if ((head & 0xe0) == 0xa0) {
    length = head & 0x1f;
  } else if (head >= 0xd9 && head <= 0xdb) {
    length = unpack_number(lua, u, 1 << (head - 0xd9));
  } else {
    luaL_error(lua, "ERR Bad data format in input.");
  }
  if ((uint64_t)(u->end - u->at) < length) luaL_error(lua, "ERR Missing bytes in input.");
  lua_pushlstring(lua, (const char *)u->at, (size_t)length);
  u->at += length;
}

int cmsgpack_unpack(lua_State *lua) {
  size_t length;
  const char *text = luaL_checklstring(lua, 1, &length);
  unpacking u = {(const unsigned char *)text, (const unsigned char *)text + length};
  unpack(lua, &u);
  return 1;
}
