/** What the process calls itself towards clients and in logs. */
export const SOFTWARE = 'nokv/0.1.0';
