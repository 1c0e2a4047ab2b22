'use strict';
// uPlot draws at the screen's density, taken when it is loaded. At twice the plain one, printed plots are sharp.
Object.defineProperty(window, 'devicePixelRatio', { value: Math.max(2, window.devicePixelRatio), configurable: true });
