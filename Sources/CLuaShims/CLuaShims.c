#include "CLuaShims.h"

#include <lua5.1/lua.h>

#include <lua5.1/lauxlib.h>
#include <lua5.1/lualib.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "msgpack.h"

// A RESP line: its type, a number, CRLF.
static void add_header(buffer *b, char type, long long number) {
  char text[32];
  add(b, text, (size_t)snprintf(text, sizeof text, "%c%lld\r\n", type, number));
}

static void add_bulk(buffer *b, const char *data, size_t length) {
  add_header(b, '$', (long long)length);
  add(b, data, length);
  add(b, "\r\n", 2);
}

struct fls_state {
  lua_State *lua;
  fls_execute execute;
  void *context;
  buffer request, answer, reply;
};

// RESP to Lua, as Redis converts it. Returns what follows; our own server's replies are well formed.
static const char *push(lua_State *lua, const char *at) {
  luaL_checkstack(lua, 4, "a reply is nested too deeply");
  const char *line = at + 1, *end = strstr(line, "\r\n");
  long long number = strtoll(line, NULL, 10);
  switch (*at) {
  case ':':
    lua_pushnumber(lua, (lua_Number)number);
    return end + 2;
  case '+':
  case '-':
    lua_newtable(lua);
    lua_pushlstring(lua, line, (size_t)(end - line));
    lua_setfield(lua, -2, *at == '+' ? "ok" : "err");
    return end + 2;
  case '$':
    if (number < 0) {
      lua_pushboolean(lua, 0);
      return end + 2;
    }
    lua_pushlstring(lua, end + 2, (size_t)number);
    return end + 2 + number + 2;
  default:
    at = end + 2;
    if (number < 0) {
      lua_pushboolean(lua, 0);
      return at;
    }
    lua_createtable(lua, (int)number, 0);
    for (int i = 1; i <= number; i++) {
      at = push(lua, at);
      lua_rawseti(lua, -2, i);
    }
    return at;
  }
}

// Lua to RESP, as Redis converts it: numbers are cut, a table ends at its first nil.
static void reply_with(buffer *b, lua_State *lua) {
  size_t length;
  const char *text;
  luaL_checkstack(lua, 4, "a result is nested too deeply");
  switch (lua_type(lua, -1)) {
  case LUA_TSTRING:
    text = lua_tolstring(lua, -1, &length);
    add_bulk(b, text, length);
    break;
  case LUA_TNUMBER:
    add_header(b, ':', (long long)lua_tonumber(lua, -1));
    break;
  case LUA_TBOOLEAN:
    if (lua_toboolean(lua, -1)) {
      add_header(b, ':', 1);
    } else {
      add(b, "$-1\r\n", 5);
    }
    break;
  case LUA_TTABLE:
    for (int i = 0; i < 2; i++) {
      lua_getfield(lua, -1, i ? "ok" : "err");
      if (lua_type(lua, -1) == LUA_TSTRING) {
        text = lua_tolstring(lua, -1, &length);
        add(b, i ? "+" : "-", 1);
        add(b, text, length);
        add(b, "\r\n", 2);
        lua_pop(lua, 2);
        return;
      }
      lua_pop(lua, 1);
    }
    {
      int count = 0;
      for (;; count++) {
        lua_rawgeti(lua, -1, count + 1);
        int is_nil = lua_isnil(lua, -1);
        lua_pop(lua, 1);
        if (is_nil) break;
      }
      add_header(b, '*', count);
      for (int i = 1; i <= count; i++) {
        lua_rawgeti(lua, -1, i);
        reply_with(b, lua);
      }
    }
    break;
  default:
    add(b, "$-1\r\n", 5);
  }
  lua_pop(lua, 1);
}

static int call(lua_State *lua, int raises) {
  fls_state *state = lua_touserdata(lua, lua_upvalueindex(1));
  int count = lua_gettop(lua);
  if (count == 0) return luaL_error(lua, "ERR Please specify at least one argument for this redis.call/pcall");
  state->request.length = 0;
  add_header(&state->request, '*', count);
  for (int i = 1; i <= count; i++) {
    char text[64];
    if (lua_type(lua, i) == LUA_TNUMBER) {
      add_bulk(&state->request, text, (size_t)snprintf(text, sizeof text, "%.17g", lua_tonumber(lua, i)));
    } else if (lua_type(lua, i) == LUA_TSTRING) {
      size_t length;
      const char *argument = lua_tolstring(lua, i, &length);
      add_bulk(&state->request, argument, length);
    } else {
      return luaL_error(lua, "ERR Lua redis lib command arguments must be strings or integers");
    }
  }
  lua_settop(lua, 0);
  state->answer.length = 0;
  state->execute(state->context, state->request.data, state->request.length);
  push(lua, state->answer.data);
  if (raises && state->answer.data[0] == '-') return lua_error(lua);
  return 1;
}

static int redis_call(lua_State *lua) { return call(lua, 1); }
static int redis_pcall(lua_State *lua) { return call(lua, 0); }

static int single_field(lua_State *lua, const char *name) {
  luaL_checkstring(lua, 1);
  lua_newtable(lua);
  lua_pushvalue(lua, 1);
  lua_setfield(lua, -2, name);
  return 1;
}

static int redis_error_reply(lua_State *lua) { return single_field(lua, "err"); }
static int redis_status_reply(lua_State *lua) { return single_field(lua, "ok"); }

fls_state *fls_new(fls_execute execute, void *context) {
  fls_state *state = calloc(1, sizeof *state);
  if (!state) return NULL;
  state->execute = execute;
  state->context = context;
  lua_State *lua = state->lua = luaL_newstate();
  if (!lua) {
    free(state);
    return NULL;
  }
  static const struct {
    const char *name;
    lua_CFunction open;
  } libraries[] = {{"", luaopen_base}, {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string}, {LUA_MATHLIBNAME, luaopen_math}};
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    lua_pushcfunction(lua, libraries[i].open);
    lua_pushstring(lua, libraries[i].name);
    lua_call(lua, 1, 0);
  }
  lua_newtable(lua);
  lua_pushlightuserdata(lua, state);
  lua_pushcclosure(lua, redis_call, 1);
  lua_setfield(lua, -2, "call");
  lua_pushlightuserdata(lua, state);
  lua_pushcclosure(lua, redis_pcall, 1);
  lua_setfield(lua, -2, "pcall");
  lua_pushcfunction(lua, redis_error_reply);
  lua_setfield(lua, -2, "error_reply");
  lua_pushcfunction(lua, redis_status_reply);
  lua_setfield(lua, -2, "status_reply");
  lua_setglobal(lua, "redis");
  lua_newtable(lua);
  lua_pushcfunction(lua, cmsgpack_pack);
  lua_setfield(lua, -2, "pack");
  lua_pushcfunction(lua, cmsgpack_unpack);
  lua_setfield(lua, -2, "unpack");
  lua_setglobal(lua, "cmsgpack");
  return state;
}

void fls_free(fls_state *state) {
  if (!state) return;
  lua_close(state->lua);
  free(state->request.data);
  free(state->answer.data);
  free(state->reply.data);
  free(state);
}

void fls_answer(fls_state *state, const char *reply, size_t length) {
  state->answer.length = 0;
  add(&state->answer, reply, length);
  add(&state->answer, "", 1);  // lines are looked for as C strings
}

// Everything that may raise an error of Lua's; the texts stand in `run`, the result in the state's reply.
typedef struct {
  fls_state *state;
  const char *digest, *source;
  size_t source_length;
  const char *const *arguments;
  const size_t *lengths;
  size_t count, key_count;
} run;

static int protected_run(lua_State *lua) {
  run *r = lua_touserdata(lua, 1);
  for (int table = 0; table < 2; table++) {
    size_t first = table ? r->key_count : 0, last = table ? r->count : r->key_count;
    lua_createtable(lua, (int)(last - first), 0);
    for (size_t i = first; i < last; i++) {
      lua_pushlstring(lua, r->arguments[i], r->lengths[i]);
      lua_rawseti(lua, -2, (int)(i - first + 1));
    }
    lua_setglobal(lua, table ? "ARGV" : "KEYS");
  }
  lua_getfield(lua, LUA_REGISTRYINDEX, r->digest);
  if (lua_isnil(lua, -1)) {
    lua_pop(lua, 1);
    if (luaL_loadbuffer(lua, r->source, r->source_length, "@user_script")) return lua_error(lua);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, LUA_REGISTRYINDEX, r->digest);
  }
  lua_call(lua, 0, 1);
  reply_with(&r->state->reply, lua);
  return 0;
}

const char *fls_run(fls_state *state, const char *digest, const char *source, size_t source_length, const char *const *arguments,
                    const size_t *lengths, size_t count, size_t key_count, size_t *reply_length) {
  run r = {state, digest, source, source_length, arguments, lengths, count, key_count};
  state->reply.length = 0;
  if (lua_cpcall(state->lua, protected_run, &r)) {
    state->reply.length = 0;
    if (lua_istable(state->lua, -1)) lua_getfield(state->lua, -1, "err");
    const char *text = lua_tostring(state->lua, -1);
    if (!text) text = "ERR the script failed";
    // An error of a command is named by its code; one of Lua's own is not.
    int is_coded = text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' && text[1] <= 'Z';
    add(&state->reply, is_coded ? "-" : "-ERR ", is_coded ? 1 : 5);
    for (; *text; text++) add(&state->reply, *text == '\r' || *text == '\n' ? " " : text, 1);
    add(&state->reply, "\r\n", 2);
    lua_settop(state->lua, 0);
  }
  lua_gc(state->lua, LUA_GCSTEP, 10);
  *reply_length = state->reply.length;
  return state->reply.data;
}
