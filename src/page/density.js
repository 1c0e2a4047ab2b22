'use strict';
// uPlot reads the pixel density of the screen when it is loaded. A density of at least 2 keeps printed plots sharp.
Object.defineProperty(window, 'devicePixelRatio', { value: Math.max(2, window.devicePixelRatio), configurable: true });
