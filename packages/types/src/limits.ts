/** Defaults that people and scripts rely on. */
export const RPC_PORT_DEFAULT = 7777;
export const HTTP_PORT_DEFAULT = 7778;
export const LOOPBACK = '127.0.0.1';
export const DATA_DIRECTORY_DEFAULT = '.nokv';
